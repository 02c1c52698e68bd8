"""The fully convolutional network as a file that other programs run, without this one."""
