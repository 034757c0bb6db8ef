"""The networks trained here: their weights and the recipe that made them."""
