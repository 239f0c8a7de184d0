"""The lessons, as they are installed: ``minicnn.course`` finds them here."""
