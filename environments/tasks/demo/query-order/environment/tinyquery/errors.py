class QueryError(ValueError):
    """The text is no query, or does not fit the table."""
