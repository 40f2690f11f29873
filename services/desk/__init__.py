"""The desk: what people act through, `ra`, with their own identity and key. It holds no authority."""
