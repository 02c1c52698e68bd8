"""Many pictures: read, computed and written at the same time, in bounded memory, resumable."""
