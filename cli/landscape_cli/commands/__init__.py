"""One command a file, named like the file; `landscape` finds it here."""
