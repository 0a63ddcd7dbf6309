"""Reading the logs back: the files of a folder, merged in the order of time, and what of them was asked for."""
