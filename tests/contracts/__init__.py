"""One base class of tests per seam; each implementation's tests inherit it."""
