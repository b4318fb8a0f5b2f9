"""Whether the data of a run is there, can be read, and says the same in each part."""
