"""Characters to words, URLs, hosts, masks, vocabularies, COPY fields; one normal form for all that is written."""
