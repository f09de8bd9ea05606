"""What is wrong with the files of a dataset, in words, and what mends it."""
