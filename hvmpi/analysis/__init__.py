"""The products of campaigns as physicists look at them: awkward arrays, ROOT and Parquet files."""
