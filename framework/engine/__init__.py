"""The event engine: kernels over numpy arrays that know nothing of files, models or venues."""
