"""Images: where they come from, how they are read, and the data module that serves them."""
