import { errorDocument } from './xml.ts'

/** What the endpoint may answer instead of success: the S3 error codes that clients know, each with its HTTP status. */
const CODES = {
  AccessControlListNotSupported: [400, 'The bucket does not allow ACLs.'],
  AccessDenied: [403, 'Access Denied.'],
  AccessForbidden: [403, 'CORSResponse: This CORS request is not allowed.'],
  AuthorizationHeaderMalformed: [400, 'The authorization header that you provided is not valid.'],
  AuthorizationQueryParametersError: [400, 'The authorization query parameters are not valid.'],
  BadDigest: [400, 'The digest you specified did not match what we received.'],
  BadRequest: [400, 'Bad Request.'],
  BucketAlreadyOwnedByYou: [409, 'The bucket exists already and you own it.'],
  BucketNotEmpty: [409, 'The bucket you tried to delete is not empty.'],
  ConditionalRequestConflict: [409, 'A conflicting operation ran at the same time. Try again.'],
  EntityTooLarge: [400, 'Your proposed upload exceeds the maximum allowed object size.'],
  EntityTooSmall: [400, 'Your proposed upload is smaller than the minimum allowed size.'],
  IllegalLocationConstraintException: [400, 'This endpoint serves another region.'],
  IncompleteBody: [400, 'You did not provide the number of bytes specified by Content-Length.'],
  InternalError: [500, 'We encountered an internal error. Please try again.'],
  InvalidAccessKeyId: [403, 'The access key id you provided does not exist in our records.'],
  InvalidArgument: [400, 'Invalid Argument.'],
  InvalidBucketName: [400, 'The specified bucket is not valid.'],
  InvalidDigest: [400, 'The Content-MD5 or checksum value that you specified is not valid.'],
  InvalidPart: [400, 'One or more of the specified parts could not be found, or its ETag differs.'],
  InvalidPartOrder: [400, 'The list of parts was not in ascending order.'],
  InvalidRange: [416, 'The requested range is not satisfiable.'],
  InvalidRequest: [400, 'Invalid Request.'],
  InvalidStorageClass: [400, 'The storage class you specified is not valid.'],
  InvalidToken: [400, 'The provided token is malformed or otherwise invalid.'],
  InvalidURI: [400, 'The specified URI could not be parsed.'],
  KeyTooLongError: [400, 'Your key is too long.'],
  MalformedTrailerError: [400, 'The request contained trailing data that was not well-formed.'],
  MalformedXML: [400, 'The XML you provided was not well-formed or did not validate.'],
  MaxMessageLengthExceeded: [400, 'Your request was too big.'],
  MetadataTooLarge: [400, 'Your metadata headers exceed the maximum allowed metadata size.'],
  MethodNotAllowed: [405, 'The specified method is not allowed against this resource.'],
  MissingContentLength: [411, 'You must provide the Content-Length HTTP header.'],
  NoSuchBucket: [404, 'The specified bucket does not exist.'],
  NoSuchBucketPolicy: [404, 'The bucket policy does not exist.'],
  NoSuchCORSConfiguration: [404, 'The CORS configuration does not exist.'],
  NoSuchKey: [404, 'The specified key does not exist.'],
  NoSuchLifecycleConfiguration: [404, 'The lifecycle configuration does not exist.'],
  NoSuchPublicAccessBlockConfiguration: [404, 'The public access block does not exist.'],
  NoSuchTagSet: [404, 'The TagSet does not exist.'],
  NoSuchUpload: [404, 'The specified multipart upload does not exist.'],
  NoSuchVersion: [404, 'The specified version does not exist.'],
  NotImplemented: [501, 'A header or query you provided implies functionality that is not here.'],
  ObjectLockConfigurationNotFoundError: [404, 'Object Lock is not configured for this bucket.'],
  PreconditionFailed: [412, 'At least one of the preconditions you specified did not hold.'],
  RequestTimeTooSkewed: [403, 'The difference between the request time and our time is too large.'],
  RequestTimeout: [400, 'Your socket connection was not read from or written to in time.'],
  ServerSideEncryptionConfigurationNotFoundError: [404, 'No encryption is configured.'],
  SignatureDoesNotMatch: [
    403,
    'The request signature we calculated does not match the signature you provided.',
  ],
  SlowDown: [503, 'Please reduce your request rate.'],
  XAmzContentSHA256Mismatch: [400, "The provided 'x-amz-content-sha256' does not match the body."],
} as const satisfies Record<string, readonly [status: number, message: string]>

export type RefusalCode = keyof typeof CODES

/** Elements to put beside Code and Message, such as `Condition`; never a secret. */
export type RefusalFields = Readonly<Record<string, string>>

/** An answer of the S3 protocol other than success. It goes to the client as it is. */
export class Refusal extends Error {
  readonly code: RefusalCode
  readonly status: number
  readonly fields: RefusalFields

  constructor(code: RefusalCode, message: string, fields: RefusalFields) {
    super(message)
    this.name = 'Refusal'
    this.code = code
    this.status = CODES[code][0]
    this.fields = fields
  }
}

/** `message` replaces the usual sentence of the code. */
export const refuse = (
  code: RefusalCode,
  message: string = CODES[code][1],
  fields: RefusalFields = {},
): Refusal => new Refusal(code, message, fields)

/** `also`: Resource and RequestId. */
export const refusalDocument = (refusal: Refusal, also: RefusalFields = {}): string =>
  errorDocument([
    ['Code', refusal.code],
    ['Message', refusal.message],
    ...Object.entries(refusal.fields),
    ...Object.entries(also),
  ])
