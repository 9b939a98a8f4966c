"""Files and folders as they come in: walked, opened and unpacked safely."""
