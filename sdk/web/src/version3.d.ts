/** True in builds of the client with version 3 of the wire protocol; a constant of the build. */
declare const VERSION_3: boolean;
