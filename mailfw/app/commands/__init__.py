"""One module for each word that may follow `mailfw`; its `command` is the click command of that name."""
