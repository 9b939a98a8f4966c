"""Learning a new window without forgetting: EWC and replay."""
