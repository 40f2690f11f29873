"""The message runtime: decode, handle, publish, settle. It knows no driver."""
