<?php
// PHP as in its manual: a new curl handle for each request.
$body = json_decode(file_get_contents('php://input'), true);
if (!is_array($body) || !isset($body['site'], $body['client_phone'])) {
    http_response_code(422);
    exit;
}
$curl = curl_init($_SERVER['UPSTREAM']);
curl_setopt_array($curl, [
    CURLOPT_POST => true,
    CURLOPT_POSTFIELDS => json_encode($body),
    CURLOPT_HTTPHEADER => ['Content-Type: application/json'],
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_TIMEOUT => 10,
]);
curl_exec($curl);
$status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
http_response_code($status === 200 ? 202 : 502);
header('Content-Type: application/json');
echo json_encode(['status' => $status]);
