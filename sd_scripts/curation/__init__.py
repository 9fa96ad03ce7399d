"""Work on the captions and folders of training images. No torch; nothing here ever deletes a picture or a text."""
