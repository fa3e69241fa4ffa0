"""RUN: columns in, predictions out, through compiled runtimes that were proven equal to the registered model."""
