"""Data sets read from the user's disks in the formats in which they are published."""
