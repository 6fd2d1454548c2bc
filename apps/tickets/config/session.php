<?php

// In the cookie, so that any host of several can answer the next request.

return [
    'driver' => env('SESSION_DRIVER', 'cookie'),
    'lifetime' => 120,
    'expire_on_close' => true,
    'encrypt' => false,
    'lottery' => [0, 100],
    'cookie' => 'tickets_session',
    'path' => '/',
    'domain' => null,
    'secure' => env('SESSION_SECURE_COOKIE', true),
    'http_only' => true,
    'same_site' => 'lax',
];
