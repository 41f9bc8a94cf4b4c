"""The blobs plane on S3, or on any server that speaks its protocol."""
