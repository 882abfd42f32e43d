"""What fills the terminal: the main screen, the help, the question before a cancel."""
