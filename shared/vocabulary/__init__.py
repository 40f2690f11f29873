"""The words of the Registration Authority: names, states, reasons, formats and findings. No I/O."""
