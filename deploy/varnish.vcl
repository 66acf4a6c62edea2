# Varnish in front of the REST port, with the module xkey (Debian: varnish-modules).
# It keeps public content, and passes everything else.
vcl 4.1;

import std;
import xkey;

backend media {
    .host = "127.0.0.1";
    .port = "8080";
}

# Where the workers are.
acl purgers {
    "127.0.0.1";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403));
        }
        set req.http.gone = xkey.purge(req.http.xkey-purge);
        return (synth(200, "Purged " + req.http.gone));
    }
    if (req.url !~ "^/v1/public/" || req.http.authorization) {
        return (pass);
    }
    unset req.http.cookie;
}

sub vcl_backend_response {
    set beresp.http.xkey = beresp.http.surrogate-key;
    if (beresp.http.cdn-cache-control ~ "max-age=[0-9]+") {
        set beresp.ttl = std.duration(
            regsub(beresp.http.cdn-cache-control, ".*max-age=([0-9]+).*", "\1s"), 0s);
    }
}

sub vcl_deliver {
    unset resp.http.xkey;
    unset resp.http.surrogate-key;
    unset resp.http.cache-tag;
    unset resp.http.cdn-tag;
    if (obj.hits > 0) {
        set resp.http.x-cache = "hit";
    } else {
        set resp.http.x-cache = "miss";
    }
}
