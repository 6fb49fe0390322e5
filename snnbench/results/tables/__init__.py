"""Tables: of the papers, of neurons side by side; the check of a row; the formats they are written in."""
