"""The local stack: its services, their supervisor and how clients reach them."""
