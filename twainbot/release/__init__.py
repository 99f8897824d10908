"""What a release consists of and how to check it. Copying files and cutting versions is the graph's business."""
