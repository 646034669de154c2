"""Objects where they lie: a folder or a bucket, its errors and its cache."""
