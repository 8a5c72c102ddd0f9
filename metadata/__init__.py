"""The metadata service: the catalog, who lives and who leads, and the work of keeping tables as they should be."""
