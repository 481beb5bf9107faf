"""What every Gatehouse service needs and no service owns."""
