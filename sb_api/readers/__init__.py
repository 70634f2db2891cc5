"""Files of records: unpacked, decoded, divided into rows. Every command reads through `batches.open_records`."""
