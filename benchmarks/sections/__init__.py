"""What is measured, section by section, each a function from the chosen cells and shapes to cases. None knows how a case is timed."""
