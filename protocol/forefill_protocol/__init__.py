"""All that sidecar and operator share: the messages of the stream, their codec, the settings of a pod."""
