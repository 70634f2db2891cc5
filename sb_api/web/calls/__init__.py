"""The calls that are not in `routes`, what all of them take from a request, and what they ask of the train process."""
