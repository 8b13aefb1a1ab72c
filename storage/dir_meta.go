package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// maxMetaFile bounds what is read of a metadata file that a hand has spoilt.
const maxMetaFile = 16 << 10

// dirMeta is what a file cannot say of itself.
type dirMeta struct {
	Key         string            `json:"key"`
	ContentType string            `json:"content_type,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// metaName is where the metadata of one version lies. Every version has its own
// file, so that a reader never mixes two.
func metaName(key, etag string) string {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:16])
	return path.Join(metaDir, name[:2], name+"."+etag+".json")
}

// describe makes the Info of the version that stat belongs to. ok is false when
// that version has been replaced or removed meanwhile.
func (d *Dir) describe(key string, stat fs.FileInfo) (_ Info, ok bool, _ error) {
	info := Info{Key: key, ETag: fileETag(stat), Size: stat.Size(), Modified: stat.ModTime()}
	data, err := d.root.ReadFile(metaName(key, info.ETag))
	if errors.Is(err, fs.ErrNotExist) {
		info.ContentType = contentType(key)
		// There is none, or a writer has removed it with its version.
		now, err := d.root.Stat(key)
		if err != nil {
			return Info{}, false, err
		}
		return info, fileETag(now) == info.ETag, nil
	}
	if err != nil {
		return Info{}, false, err
	}
	var meta dirMeta
	if len(data) > maxMetaFile {
		return Info{}, false, fmt.Errorf("metadata file of %q has %d bytes, at most %d are allowed", key, len(data), maxMetaFile)
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		return Info{}, false, fmt.Errorf("metadata file %s of %q is damaged: %w", metaName(key, info.ETag), key, err)
	}
	info.ContentType, info.Metadata = meta.ContentType, meta.Metadata
	return info, true, nil
}

// writeMeta writes what differs from the defaults. It need not be atomic: no
// reader looks for it before the version it belongs to is published.
func (d *Dir) writeMeta(info Info) (err error) {
	if len(info.Metadata) == 0 && info.ContentType == contentType(info.Key) {
		return nil
	}
	data, err := json.Marshal(dirMeta{Key: info.Key, ContentType: info.ContentType, Metadata: info.Metadata})
	if err != nil {
		return fmt.Errorf("encode metadata: %w", err)
	}
	name := metaName(info.Key, info.ETag)
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return dirError(err)
	}
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return dirError(err)
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		_ = d.root.Remove(name)
		return dirError(err)
	}
	return d.syncDir(path.Dir(name))
}

// removeMeta does what it can; a leftover is never read again.
func (d *Dir) removeMeta(key, etag string) { _ = d.root.Remove(metaName(key, etag)) }
