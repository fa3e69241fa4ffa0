"""Side by side: the same rows and the same model behind different servers, measured in turns."""
