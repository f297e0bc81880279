"""Call the function, in order and within a time limit; cache what it returns."""
