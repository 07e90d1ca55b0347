"""What the owner taught: glyphs with the label a person gave them."""
