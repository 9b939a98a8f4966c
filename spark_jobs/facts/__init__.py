"""The checks of level 3, a kind of statement a module; `levels/l3_facts.py` runs them."""
