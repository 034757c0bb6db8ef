"""The command line: parse, call the library, save. No torch before a command runs."""
