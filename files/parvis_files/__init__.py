"""Files: spaces, folders, uploads, versions and shares; their bytes lie in a blob store."""
