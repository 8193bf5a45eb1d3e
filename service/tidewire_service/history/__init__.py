"""The readings of a span: read in pages, put into buckets, written as files."""
