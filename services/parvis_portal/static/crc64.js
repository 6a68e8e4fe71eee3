// @ts-check
/** CRC-64/NVME, which the blob store checks each part of a file with; 64 bits as two halves of 32. */

const POLYNOMIAL_LOW = 0xac4bc9b5 | 0;
const POLYNOMIAL_HIGH = 0x9a6c9329 | 0;
/** Reflected: 0x9A6C9329AC4BC9B5. */
const LOW = new Int32Array(8 * 256);
const HIGH = new Int32Array(8 * 256);

for (let byte = 0; byte < 256; byte++) {
  let low = byte, high = 0;
  for (let bit = 0; bit < 8; bit++) {
    const odd = low & 1;
    low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (odd) { low ^= POLYNOMIAL_LOW; high ^= POLYNOMIAL_HIGH; }
  }
  LOW[byte] = low;
  HIGH[byte] = high;
}
for (let byte = 0; byte < 256; byte++) {
  let low = LOW[byte], high = HIGH[byte];
  for (let slice = 1; slice < 8; slice++) {
    const at = low & 255;
    const nextLow = ((low >>> 8) | (high << 24)) ^ LOW[at];
    high = (high >>> 8) ^ HIGH[at];
    low = nextLow;
    LOW[slice * 256 + byte] = low;
    HIGH[slice * 256 + byte] = high;
  }
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} in Base64, as S3 writes it
 */
export function crc64nvme(bytes) {
  let low = -1, high = -1, at = 0;
  const end = bytes.length - 7;
  for (; at < end; at += 8) {
    const a = low ^ (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24));
    const b = high ^ (bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16) | (bytes[at + 7] << 24));
    const i7 = 1792 + (a & 255), i6 = 1536 + ((a >>> 8) & 255), i5 = 1280 + ((a >>> 16) & 255), i4 = 1024 + (a >>> 24);
    const i3 = 768 + (b & 255), i2 = 512 + ((b >>> 8) & 255), i1 = 256 + ((b >>> 16) & 255), i0 = b >>> 24;
    low = LOW[i7] ^ LOW[i6] ^ LOW[i5] ^ LOW[i4] ^ LOW[i3] ^ LOW[i2] ^ LOW[i1] ^ LOW[i0];
    high = HIGH[i7] ^ HIGH[i6] ^ HIGH[i5] ^ HIGH[i4] ^ HIGH[i3] ^ HIGH[i2] ^ HIGH[i1] ^ HIGH[i0];
  }
  for (; at < bytes.length; at++) {
    const slot = (low ^ bytes[at]) & 255;
    low = ((low >>> 8) | (high << 24)) ^ LOW[slot];
    high = (high >>> 8) ^ HIGH[slot];
  }
  low = ~low;
  high = ~high;
  const octets = [high >>> 24, high >>> 16, high >>> 8, high, low >>> 24, low >>> 16, low >>> 8, low];
  return btoa(String.fromCharCode(...octets.map((one) => one & 255)));
}
