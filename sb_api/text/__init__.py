"""Characters to words, URLs, masks, vocabularies, COPY fields."""
