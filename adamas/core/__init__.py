"""What everything else stands on: errors, configuration, files, seeds, devices and the types of batches."""
