"""WHAT MUST HOLD OF DATA: Great Expectations suites and drift tests."""
