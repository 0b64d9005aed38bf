/usr/bin/wget -qO- http://169.254.169.254/token
/usr/bin/cat /etc/shadow
/usr/bin/nc 169.254.169.254 80 < /dev/null
