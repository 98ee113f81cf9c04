"""What people look at: tables, later reports and displays."""
